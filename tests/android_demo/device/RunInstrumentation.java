import android.app.Instrumentation;
import android.os.Bundle;

/** Does what Android does for `am instrument`. */
public final class RunInstrumentation {
    public static void main(String[] words) throws ReflectiveOperationException {
        Bundle arguments = new Bundle();
        for (int place = 1; place < words.length; place += 2) {
            arguments.putString(words[place], words[place + 1]);
        }
        Instrumentation named = (Instrumentation) Class.forName(words[0]).getConstructor().newInstance();
        named.onCreate(arguments);
    }
}
