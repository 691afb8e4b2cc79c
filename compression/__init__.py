"""Dense LLaMA-family model in, low-rank model of the same family out."""
