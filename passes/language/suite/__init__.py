"""A suite of unlearning measurements: its questions, what the model answers, the metrics, and the blows that try to
bring the answers back."""
