"""What audio containers state about their length, checked against the bytes of the file.

In: an open file and the length that libsndfile reports. Out: the number of frames, or an AudioError
where audio is missing or would be left out.
"""
