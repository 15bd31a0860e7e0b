"""Training of a First Order Motion Model on a category of your own: `python run.py train CONFIG`.

prepare.py    folders of clips, stills and pairs -> a packed dataset: cropped, tracked, in one file
synthetic.py  synthetic data generator: still images animated by the warp engine
dataset.py    all frames as uint8 on the training device, and sampling of pairs
trainer.py    the training step
run.py        the training loop
"""
