"""What an example and an answer are, task by task."""
