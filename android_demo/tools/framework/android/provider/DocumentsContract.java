package android.provider;

import android.net.Uri;

public final class DocumentsContract {
    DocumentsContract() {
        throw new RuntimeException();
    }

    public static Uri buildDocumentUriUsingTree(Uri p0, String p1) {
        throw new RuntimeException();
    }

    public static Uri buildChildDocumentsUriUsingTree(Uri p0, String p1) {
        throw new RuntimeException();
    }

    public static String getTreeDocumentId(Uri p0) {
        throw new RuntimeException();
    }

    public static final class Document {
        public static final String COLUMN_DISPLAY_NAME = "_display_name";
        public static final String COLUMN_DOCUMENT_ID = "document_id";
        public static final String COLUMN_MIME_TYPE = "mime_type";
        public static final String MIME_TYPE_DIR = "vnd.android.document/directory";

        Document() {
            throw new RuntimeException();
        }
    }
}
