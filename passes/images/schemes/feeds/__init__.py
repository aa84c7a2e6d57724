"""Where the latents of a term come from, one file each."""
