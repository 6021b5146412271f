"""How a Value is recorded: its node, the rows as functions, what is remembered of where and with whom."""
