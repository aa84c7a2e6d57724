"""Text encoders as ports: prompts in, rows out, with the place in the prompt that each row speaks of."""
