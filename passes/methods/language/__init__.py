"""Methods that edit language models, one a file."""
