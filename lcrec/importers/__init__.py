"""Readers of interaction data, one file a format, each returning an `Imported`.

    lcrec_format   X.inter.json, X.item.json, X.index.json: sequences, titles, item codes
    movielens      ratings.csv and movies.csv
    csv_format     one table of user, item, timestamp and, if there are any, title and rating

What can be mended is mended, named and counted (`repairs.REPAIRS` lists it all); anything else is a
`DatasetError` that names the file and the line or key.
"""
