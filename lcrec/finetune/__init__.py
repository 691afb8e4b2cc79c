"""Fine-tuning a pretrained language model into a recommender, on one device or many."""
