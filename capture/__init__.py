"""Capture: functions into static dataflow graphs. It plugs into `eagerflow.core.interpret`."""
