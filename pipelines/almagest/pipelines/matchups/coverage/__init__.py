"""Coverage: what a catalogue holds of the matchups of each pair of sensors, in numbers, and as a page.

`survey` asks a catalogue, whichever it is, reads its `answers` and puts the `numbers` together; `drawing` makes charts
and maps of them, and `page` writes them down as HTML. All of it is pure: whoever asks sends the questions.
"""
