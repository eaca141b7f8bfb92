"""Options of generation and of long text."""
