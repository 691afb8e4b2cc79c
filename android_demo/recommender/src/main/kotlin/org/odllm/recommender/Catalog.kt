package org.odllm.recommender

/**
 * One item of a catalogue.
 *
 * @property id the app's own.
 * @property title for people.
 * @property row its row of the item table; other rows after a catalogue update.
 * @property isBlocked whether the catalogue keeps it from coming back; a history may hold it all the same.
 */
public class CatalogItem internal constructor(
    public val id: String,
    public val title: String,
    public val row: Int,
    public val isBlocked: Boolean,
) {
    override fun equals(other: Any?): Boolean =
        other is CatalogItem && id == other.id && title == other.title &&
            row == other.row && isBlocked == other.isBlocked

    override fun hashCode(): Int = id.hashCode()

    override fun toString(): String = "$title ($id)"
}

/**
 * A bundle's items, as they were when it was asked for: an update makes another object. For several threads at once.
 */
public class Catalog internal constructor(internal val arrays: CatalogArrays, internal val table: ItemTable) {
    private val index by lazy { TitleIndex(table) }

    /** Items, blocked ones included. */
    public val size: Int get() = table.size

    /** Items that may come back. */
    public val liveItems: Int get() = arrays.liveItems[0]

    /** All items by row; each is made when it is asked for. */
    public val items: List<CatalogItem> = object : AbstractList<CatalogItem>(), RandomAccess {
        override val size: Int get() = table.size

        override fun get(index: Int): CatalogItem = item(index)
    }

    /**
     * Returns the item at a row.
     *
     * @throws InvalidRequestException there is no such row.
     */
    public fun item(row: Int): CatalogItem {
        if (row !in 0 until size) throw InvalidRequestException("item row $row is outside 0 … ${size - 1}")
        return CatalogItem(table.ids[row], table.titles[row], row, !arrays.isLive(row))
    }

    /** Returns an item by its id, or null where there is none. */
    public fun find(id: String): CatalogItem? = table.rowOf(id).let { if (it < 0) null else item(it) }

    /**
     * Returns the items whose titles contain every word, in the order of the table; all items where there is no word.
     * Upper and lower case are the same, and so are letters with and without marks: `amelie` finds `Amélie`.
     *
     * The first search of a catalogue takes longer than those after it.
     *
     * @param words separated by spaces; parts of words will do.
     * @param limit the most items that are returned.
     */
    @JvmOverloads
    public fun search(words: String, limit: Int = Int.MAX_VALUE): List<CatalogItem> =
        index.rows(words, limit).map(::item)

    /**
     * Returns the rows of items.
     *
     * @throws UnknownItemsException some are not in the catalogue.
     */
    internal fun rows(ids: Collection<String>): LongArray {
        val rows = LongArray(ids.size)
        var at = 0
        for (id in ids) rows[at++] = table.rowOf(id).toLong()
        if (rows.any { it < 0 }) throw unknown(ids.filterTo(LinkedHashSet()) { table.rowOf(it) < 0 }.toList())
        return rows
    }

    private fun unknown(ids: List<String>): UnknownItemsException {
        val named = ids.take(MOST_NAMED).joinToString { "'$it'" } + if (ids.size > MOST_NAMED) ", …" else ""
        return UnknownItemsException(ids, "$named: not among this bundle's $size items. Leave unknown items out.")
    }

    private companion object {
        const val MOST_NAMED = 5
    }
}
