"""editc side by side with the published algorithms, on files of true shape: `python -m benchmarks.against FOLDER`."""
