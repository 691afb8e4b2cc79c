"""What a recommender is fine-tuned on: LC-Rec's tasks as prompts and responses, in token ids."""
