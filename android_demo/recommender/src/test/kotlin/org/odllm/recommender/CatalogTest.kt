package org.odllm.recommender

import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

class CatalogTest {
    @Test
    fun itemsByRowAndById() = TestBundles.open("grown").use { recommender ->
        val catalog = recommender.catalog
        assertEquals(62, catalog.size)
        assertEquals(62, catalog.items.size)
        for ((row, item) in catalog.items.withIndex()) {
            assertEquals(row, item.row)
            assertEquals(item, catalog.find(item.id))
        }
        assertEquals("Amélie", catalog.find("é")!!.title)
        assertNull(catalog.find("I1"))
        assertThrows(InvalidRequestException::class.java) { catalog.item(62) }
        assertThrows(InvalidRequestException::class.java) { catalog.item(-1) }
        Unit
    }

    @Test
    fun blockedItemsAreKnownAndNamed() = TestBundles.open("blocked").use { recommender ->
        val catalog = recommender.catalog
        assertEquals(60 to 10, catalog.size to catalog.liveItems)
        assertTrue(catalog.items.all { it.isBlocked == (it.row < 50) })
        assertEquals(10, recommender.recommend(listOf("i1"), 12).items.size)
    }

    @Test
    fun titlesThatContainEveryWord() = TestBundles.open("grown").use { recommender ->
        val catalog = recommender.catalog
        for (words in listOf("amelie", "AMÉLIE", "ame\u0301lie", "  mél  ")) {
            assertEquals(listOf("é"), catalog.search(words).map { it.id })
        }
        assertEquals(listOf("i5", "i15", "i25", "i35", "i45", "i50", "i51"), catalog.search("5 item", 7).map { it.id })
        assertEquals(listOf("i17"), catalog.search("17 number item").map { it.id })
        assertEquals(62, catalog.search(" ").size)
        assertEquals(emptyList<CatalogItem>(), catalog.search("none such"))
        assertEquals(emptyList<CatalogItem>(), catalog.search("item", 0))
    }

    /** Rows of the titles that are found. */
    @Test
    fun caseAndSpacesOfEveryScript() {
        val table = ItemTable(1)
        val titles = "Οδύσσεια,ΟΔΥΣΣΕΥΣ,Οδυσσεύς,Irmak,IRMAK,七人の侍,Straße,Naïve 2".split(',')
        titles.forEachIndexed { row, title -> table.add("$row", title) }
        val index = TitleIndex(table)
        fun found(words: String) = index.rows(words, Int.MAX_VALUE)
        assertEquals(listOf(0, 1, 2), found("ΟΔΥΣ"))
        assertEquals(listOf(0, 1, 2), found("οδυσ"))
        assertEquals(listOf(1, 2), found("οδυσσευς"))
        assertEquals(listOf(1, 2), found("ΟΔΥΣΣΕΎΣ"))
        assertEquals(listOf(3, 4), found("ırmak"))
        assertEquals(listOf(3, 4), found("İRMAK"))
        assertEquals(listOf(5), found("侍\u3000七人"))
        for (words in listOf("STRAẞE", "straße", "STRASSE", "strasse")) assertEquals(listOf(6), found(words))
        assertEquals(listOf(7), found("2\u00A0naive\n"))
    }

    @Test
    fun manyItemsWithTextsOfAllLengths() {
        val table = ItemTable(1)
        val ids = (0 until 20_000).map { "é".repeat(it % 40) + "-$it" }
        for (id in ids) table.add(id, id.reversed())
        table.ids.trim()
        assertEquals(ids.indices.toList(), ids.map { table.rowOf(it) })
        assertEquals(ids, ids.indices.map { table.ids[it] })
        assertEquals(ids[777].reversed(), table.titles[777])
        assertNull(table.add(ids[12_345], ""))
        assertEquals(-1, table.rowOf("-20000"))
    }
}
