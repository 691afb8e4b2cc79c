"""The recommender that gets deployed: data, item codes, prompts, training, search and evaluation."""
