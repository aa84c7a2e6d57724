"""The commands of editc as functions: one file each; `public` has those that `editc.api` and the command line call."""
