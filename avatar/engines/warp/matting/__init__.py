"""Matting: separation of the person from the background, and filling of the background behind them."""
