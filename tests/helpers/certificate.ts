import { execFileSync } from "node:child_process";
import { join } from "node:path";

/**
 * Makes a key, and a certificate that it has signed itself, in a directory; for two days.
 * @param name what it is for, as in a certificate: "IP:127.0.0.1", "DNS:registry.test"
 */
export function selfSigned(directory: string, name: string): { certificate: string; key: string } {
  const [certificate, key] = [join(directory, "cert.pem"), join(directory, "key.pem")];
  const made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=here"];
  const files = ["-keyout", key, "-out", certificate];
  execFileSync("openssl", [...made, "-addext", `subjectAltName=${name}`, ...files], { stdio: "ignore" });
  return { certificate, key };
}
