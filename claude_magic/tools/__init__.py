"""Tools that Claude calls in the notebook: functions, approval, calls; and structured output."""
