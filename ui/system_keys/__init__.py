"""Keys that work while another program has the focus; off until switched on."""
