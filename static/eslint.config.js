import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['dist/', 'dist-engine/', 'dist-package/', 'package/', 'node_modules/', 'src/generated/', 'src/page/report/sort.js', 'scripts/', '*.config.*'] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      // Indices within bounds known from the loop; `noUncheckedIndexedAccess` finds the rest.
      '@typescript-eslint/no-non-null-assertion': 'off',
    },
  },
);
