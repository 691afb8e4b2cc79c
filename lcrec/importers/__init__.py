"""Readers of interaction data, one file a format, each returning an `Imported`.

    lcrec_format    X.inter.json, X.item.json, X.index.json: sequences, titles, item codes
    movielens       ratings.csv and movies.csv
    csv_format      one table of user, item, timestamp and, if there are any, title and rating
    parquet_format  the same as Parquet
    amazon          a category of Amazon's reviews of 2018 or 2023
    steam           Steam's reviews and games

Tables and dumps are read in blocks: `source_file` unpacks and counts bytes, `csv_table`, `json_lines` and
`parquet_format` make blocks of rows, `interactions` keeps 16 bytes of each, `metadata` reads the words of the items
that stay. What can be mended is mended, named and counted (`repairs.REPAIRS` lists it all); anything else is a
`DatasetError` that names the file and the line or key.
"""
