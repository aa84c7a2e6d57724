"""Read and write the files that hold tensors: safetensors, GGUF, ONNX and its adapters."""
