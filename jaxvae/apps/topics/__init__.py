"""Topic models, and how they are judged."""
