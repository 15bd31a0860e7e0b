"""The desktop app: Qt code only, one file per widget. It imports `avatar`, never the other way round."""
