"""Claude calls the notebook: functions, approval, and structured output."""
