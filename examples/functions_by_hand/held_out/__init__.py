"""Mistakes kept apart to judge a checker by: count, but do not look; a file a family."""
