"""Training a First Order Motion Model on a category of your own: `python run.py train CONFIG`.

    prepare.py    folders of clips, stills and pairs -> a pack: cropped, tracked, in one file
    teacher.py    stills moved by the warp engine: any number of paired frames of people who do not exist
    bank.py       all frames as uint8 on the device that trains
    trainer.py    one step, and the loop around it
"""
