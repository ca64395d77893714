"""A denoiser to ONNX and its run times. Knows nothing of the engine: modules, paths and arrays in, arrays out."""
