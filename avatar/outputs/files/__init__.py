"""Outputs of offline jobs: video files, GIF, PNG folders, and their sound."""
