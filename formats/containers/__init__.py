"""Files as they are on disk: safetensors, GGUF, ONNX, protobuf; read by their headers."""
