"""Text encoders behind the port `Encoder`: a prompt becomes rows, each with its place in the prompt."""
