"""Methods that edit language models, one in each file."""
