"""The `odllm` program: one verb a stage of the pipeline."""
