"""The desktop app: Qt alone, one file per widget. It imports `avatar`; `avatar` never imports it."""
