"""Methods whose edit is trained, one file each: each is a preset of the scheme in `editc.passes.images.train`."""
