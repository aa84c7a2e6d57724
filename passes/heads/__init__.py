"""The heads of classifiers: one matrix, from which classes are taken out in closed form. numpy only."""
