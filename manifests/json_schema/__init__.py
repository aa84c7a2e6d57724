"""The shape of a manifest as a JSON Schema (draft 7), made from the tables that decoding reads, for editors."""
