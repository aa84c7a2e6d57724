"""Measuring how an edit changes outputs, on the weights as they will be stored, and the certificate."""
