"""What a beginner needs: the names that there are, and a first manifest."""
