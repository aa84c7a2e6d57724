"""The suite `tofu-mini` on SmolLM2-135M: `python -m benchmarks.tofu_mini`."""
