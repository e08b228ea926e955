"""The pictures. Each function takes arrays and returns a Matplotlib figure; none touches pyplot.

Each raises ValueError or TypeError, the argument named, if its arrays do not fit together.
"""
