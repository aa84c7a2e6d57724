"""How far any text whatever can bring an erased concept back."""
