package org.odllm.demo.bundles

import java.io.ByteArrayInputStream
import java.io.ByteArrayOutputStream
import java.nio.charset.Charset
import java.util.concurrent.CancellationException
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.odllm.demo.ScriptedOpener
import org.odllm.demo.recommend.ProblemKind
import org.odllm.recommender.Cancellation
import org.odllm.recommender.RecommenderException

class BundleImportTest {
    @get:Rule
    val folder = TemporaryFolder()

    private val opener = ScriptedOpener()
    private lateinit var store: BundleStore

    @Before
    fun makeStore() {
        store = BundleStore(folder.root)
    }

    private fun zip(vararg entries: Pair<String, String>, names: Charset = Charsets.UTF_8): BundleSource {
        val bytes = ByteArrayOutputStream()
        ZipOutputStream(bytes, names).use { zip ->
            for ((path, text) in entries) {
                zip.putNextEntry(ZipEntry(path))
                zip.write(text.toByteArray())
            }
        }
        return ZipSource { ByteArrayInputStream(bytes.toByteArray()) }
    }

    private fun take(source: BundleSource, mostBytes: Long = 1000): String =
        BundleImport(store, opener, mostBytes, sparedBytes = 0).run(source, Cancellation()) {}

    private fun refusal(source: BundleSource, mostBytes: Long = 1000): ProblemKind {
        val refused = assertThrows(ImportException::class.java) { take(source, mostBytes) }
        assertEquals("nothing may be left behind", emptyList<String>(), leftovers())
        return refused.kind
    }

    private fun leftovers() = folder.root.walk().filter { it.isFile }.map { it.name }.toList()

    @Test
    fun `a ZIP file with the files at its top is taken in`() {
        assertEquals("loaded/films-fp32", take(zip(MANIFEST to "Alien", "catalog.bin" to "trie")))
        val stored = store.list().single()
        assertEquals(9L, stored.bytes)
        assertEquals(Origin.LOADED, stored.origin)
        assertTrue(opener.open.isEmpty())
    }

    @Test
    fun `a ZIP file with one folder is taken in, without what macOS adds`() {
        val added = arrayOf("__MACOSX/films/._$MANIFEST" to "x", "films/.DS_Store" to "x")
        take(zip("films/" to "", "films/$MANIFEST" to "Alien", *added))
        assertEquals(listOf(MANIFEST), leftovers())
    }

    @Test
    fun `two bundles of one name stand side by side`() {
        val first = take(zip(MANIFEST to "Alien"))
        val second = take(zip(MANIFEST to "Brazil"))
        assertEquals(listOf("loaded/films-fp32", "loaded/films-fp32-2"), listOf(first, second))
        assertEquals(2, store.list().size)
    }

    @Test
    fun `paths that lead out are refused`() {
        for (path in listOf("../evil", "/evil", "films/../evil", "a/b/evil", "..\\evil", "C:evil", ".hidden", "")) {
            assertEquals(path, ProblemKind.UNSAFE_ARCHIVE, refusal(zip(MANIFEST to "Alien", path to "x")))
        }
    }

    @Test
    fun `a name in an old Windows' letters is refused`() {
        val old = zip("B\u00fcndel/$MANIFEST" to "Alien", names = Charsets.ISO_8859_1)
        assertEquals(ProblemKind.UNSAFE_ARCHIVE, refusal(old))
    }

    @Test
    fun `a bundle in two folders is refused`() {
        assertEquals(ProblemKind.UNSAFE_ARCHIVE, refusal(zip("a/$MANIFEST" to "Alien", "b/catalog.bin" to "x")))
    }

    @Test
    fun `what has no manifest is refused`() {
        assertEquals(ProblemKind.NOT_A_BUNDLE, refusal(zip("readme" to "x")))
        assertEquals(ProblemKind.NOT_A_BUNDLE, refusal(FolderSource { emptyList() }))
        assertEquals(ProblemKind.NOT_A_BUNDLE, refusal(ZipSource { "no ZIP".byteInputStream() }))
    }

    @Test
    fun `the bytes are counted as they are unpacked`() {
        assertEquals(ProblemKind.BUNDLE_TOO_LARGE, refusal(zip(MANIFEST to "Alien", "zeros" to "0".repeat(2000))))
        take(zip(MANIFEST to "Alien"), mostBytes = 5)
    }

    @Test
    fun `many files are no bundle`() {
        val many = (1..64).map { "file$it" to "" }.toTypedArray()
        assertEquals(ProblemKind.NOT_A_BUNDLE, refusal(zip(MANIFEST to "Alien", *many)))
    }

    @Test
    fun `a full device is said before anything is copied`() {
        val full = BundleImport(store, opener, sparedBytes = Long.MAX_VALUE)
        val refused = assertThrows(ImportException::class.java) {
            full.run({ throw AssertionError("nothing may be read") }, Cancellation()) {}
        }
        assertEquals(ProblemKind.NOT_ENOUGH_STORAGE, refused.kind)
    }

    @Test
    fun `a bundle that does not open is not taken in`() {
        opener.failure = RecommenderException("damaged")
        assertThrows(RecommenderException::class.java) { take(zip(MANIFEST to "Alien")) }
        assertEquals(emptyList<String>(), leftovers())
    }

    @Test
    fun `a stopped copy leaves nothing behind`() {
        val cancellation = Cancellation()
        val import = BundleImport(store, opener, sparedBytes = 0)
        assertThrows(CancellationException::class.java) {
            import.run(zip(MANIFEST to "Alien", "catalog.bin" to "trie"), cancellation) { cancellation.cancel() }
        }
        assertEquals(emptyList<String>(), leftovers())
    }

    @Test
    fun `a folder is copied without hidden files`() {
        val files = listOf(MANIFEST, ".nomedia").map { name -> SourceFile(name) { "Alien".byteInputStream() } }
        take(FolderSource { files })
        assertEquals(listOf(MANIFEST), leftovers())
    }
}
