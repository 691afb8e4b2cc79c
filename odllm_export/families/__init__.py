"""What each family's config.json means: one short description a family."""
