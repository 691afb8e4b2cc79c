package org.odllm.recommender

import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Before
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

/** A catalogue whose hash is right and whose content is not. */
class CatalogFileTest {
    @get:Rule
    val temporary = TemporaryFolder()

    private lateinit var bundle: File

    @Before
    fun copyBundle() {
        bundle = TestBundles.copy("loop", temporary.root)
    }

    /** Only a node's code may be another one: nothing in the file says which it should be. */
    @Test
    fun everyNumberThatIsWrongByOneOrFarOff() {
        val file = File(bundle, "catalog.bin")
        val whole = file.readBytes()
        val header = ByteBuffer.wrap(whole).order(ByteOrder.LITTLE_ENDIAN)
        val (levels, nodes) = header.getInt(12) to header.getInt(20)
        val codes = 56 + 4 * (levels + nodes + 1)
        val codesEnd = codes + 4 * nodes
        for (at in whole.indices.filter { it % 4 == 0 && (it >= 56 || it in 0..20) }) {
            val small = if (at in codes until codesEnd) emptyList() else listOf(1, -1)
            for (change in small + listOf(1 shl 30, Int.MIN_VALUE)) {
                val bytes = ByteBuffer.wrap(whole.clone()).order(ByteOrder.LITTLE_ENDIAN)
                bytes.putInt(at, bytes.getInt(at) + change)
                file.writeBytes(bytes.array())
                val error = assertThrows("byte $at", BundleDamagedException::class.java) { read(file) }
                assertEquals(file, error.file)
            }
        }
    }

    @Test
    fun aFileOfAnyLength() {
        val file = File(bundle, "catalog.bin")
        val whole = file.readBytes()
        for (length in (0..80) + listOf(whole.size - 4, whole.size + 4)) {
            file.writeBytes(whole.copyOf(length))
            assertThrows(BundleDamagedException::class.java) { read(file) }
        }
    }

    @Test
    fun itemsThatAreOthersFewerMoreOrNone() {
        val file = File(bundle, "items.jsonl")
        val lines = file.readLines()
        val damaged = listOf(
            lines.drop(1), lines + lines[0], lines + """{"id": "more", "title": "More"}""", lines.reversed(),
            emptyList(),
            lines.map { it.replace("i7\"", "other\"") }, lines.map { it.replace("\"title\"", "\"name\"") },
            lines.map { it.replace("\"i7\"", "7") }, listOf("") + lines, listOf("x") + lines.drop(1),
            listOf("""{"id": "\ud800", "title": ""}""") + lines.drop(1),
        )
        for (table in damaged) {
            file.writeText(table.joinToString("") { "$it\n" })
            Manifests.describe(bundle, "items.jsonl")
            val what = table.take(2).toString()
            val error = assertThrows(what, BundleDamagedException::class.java) { Recommender.open(bundle) }
            assertEquals("items.jsonl", error.file.name)
        }
    }

    @Test
    fun aTableWithoutALastLineEndAndWithOtherMembersIsGood() {
        val file = File(bundle, "items.jsonl")
        file.writeText(file.readLines().joinToString("\r\n") { it.replace("{", """{"year": 1999, """) })
        Manifests.describe(bundle, "items.jsonl")
        Recommender.open(bundle).use { assertEquals("Item number 59", it.catalog.find("i59")?.title) }
    }

    @Test
    fun anotherBundlesCatalogue() {
        File(TestBundles.folder("shrunk"), "catalog.bin").copyTo(File(bundle, "catalog.bin"), overwrite = true)
        Manifests.describe(bundle, "catalog.bin")
        assertThrows(BundleDamagedException::class.java) { Recommender.open(bundle) }
    }

    private fun read(file: File): BundleContent {
        Manifests.describe(bundle, file.name)
        return BundleContent.read(ManifestReader.read(bundle))
    }
}
