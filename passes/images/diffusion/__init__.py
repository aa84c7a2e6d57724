"""What attacks and training share: pictures, losses and loops in a model with gradients."""
