"""The blows of a suite, one file each: what an owner of the weights may do to bring forgotten answers back."""
